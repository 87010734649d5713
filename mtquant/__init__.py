"""Train, resume, evaluate and export a hierarchy of trading agents.

Glossary, one word per idea: *bar*; *row* (one of N parallel episodes); *slot* (instrument position
within a row); *group* (asset group); *specialist*; *meta*; *phase*; *unit* (one resumable piece of
work); *run* (one execution of the whole unit graph); *bundle* (what deploys); *checkpoint* (what
resumes); *target* (a number asked of a result); *gate* (a learning test against a known optimum);
*promotion* (a later phase earning its place); *limit* (a rule of the risk layer); *registry* (a dict
of constructors); *exposure* (signed risk of a position: 1.0 has the annual volatility
`EnvironmentSpec.target_volatility` on its own).
"""

__version__ = "0.1.0"
