"""Object stores behind `ports/objects`: any S3, and a small one in memory that keeps the same promises in tests."""
