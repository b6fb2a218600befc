"""`mini2`, the next version of the embedded model: any look by a code, pictures in 4 x 4 blocks throughout."""
