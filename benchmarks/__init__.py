"""What the hub costs, beside what others cost: ``make bench``. See README.md in this directory."""
