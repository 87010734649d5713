"""Train, resume or evaluate the whole pipeline (`--mode train|resume|eval`)."""

import sys

from mtquant.cli.documented import training_pipeline

if __name__ == "__main__":
    sys.exit(training_pipeline(sys.argv[1:]))
