"""One module a metric: random cases that aim at its quirks, and what the reference makes of them."""
