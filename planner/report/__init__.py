"""One HTML page about runs and plans: it holds its pictures, asks for nothing outside, and is light or dark."""
