"""Files of other accounting programs, read strictly and booked once. Each kind of file has a module of its own."""
