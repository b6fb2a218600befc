"""Style classifier, the benchmark's measure of style."""
