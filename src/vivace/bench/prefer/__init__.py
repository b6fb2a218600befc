"""What people prefer: blind pairs of two systems' outputs, votes, and shares."""
