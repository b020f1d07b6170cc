"""Work orders: their life, and how other systems hear of them."""
