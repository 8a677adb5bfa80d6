"""What becomes of the operator when it is killed, lied to and cut off: crashes and faults."""
