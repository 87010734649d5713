#!/bin/sh
# Create the work pool where it is missing (its limits stay as they were set) and update all deployments.
set -eu

prefect work-pool inspect mtquant >/dev/null 2>&1 || prefect work-pool create mtquant --type process
prefect deploy --all
