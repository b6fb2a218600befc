"""The next body of the embedded model: any look by a code, pictures in 4 x 4 blocks from end to end."""
