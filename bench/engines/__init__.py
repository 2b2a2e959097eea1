"""Other engines on the same events: each keeps the totals by day and city, and by day and salesman, in memory."""
