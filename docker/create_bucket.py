"""Create the bucket for artifacts where it is missing."""

import os
import sys
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import ClientError

MISSING = "404"


def main() -> int:
    """Return 0 once the bucket of `MLFLOW_ARTIFACTS_DESTINATION` exists."""
    destination = os.environ["MLFLOW_ARTIFACTS_DESTINATION"]
    address = urlsplit(destination)
    if address.scheme != "s3" or not address.netloc:
        sys.stderr.write(f"MLFLOW_ARTIFACTS_DESTINATION is {destination}, not s3://BUCKET; see .env.example.\n")
        return 1
    client = boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"])
    try:
        client.head_bucket(Bucket=address.netloc)
    except ClientError as error:
        if error.response["Error"]["Code"] != MISSING:
            raise
        client.create_bucket(Bucket=address.netloc)
    return 0


if __name__ == "__main__":
    sys.exit(main())
