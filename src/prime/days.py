"""How many days a month and a year have, wherever times are told in them."""

YEAR = 365.25
MONTH = YEAR / 12
