"""Human preference: blind pairs of two systems' outputs, votes, and shares."""
