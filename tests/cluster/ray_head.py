"""A Ray head on loopback that lives as long as its standard input is open; prints its address."""

import sys

import ray

context = ray.init(
    address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20
)
sys.stdout.write(context.address_info["gcs_address"] + "\n")
sys.stdout.flush()
sys.stdin.read()
ray.shutdown()
