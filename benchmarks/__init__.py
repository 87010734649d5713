"""How fast mtquant is, beside what an ordinary setup reaches on the same machine in the same run."""
