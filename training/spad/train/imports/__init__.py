"""Reading other people's data sets: their layouts become case folders (`spad import`)."""
