"""One file each, numbered; never changed once they are released."""
