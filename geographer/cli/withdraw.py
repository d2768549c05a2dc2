"""withdraw: delete the bytes of rasters and of their chips in every revision."""

from geographer.cli.requests import make_request_command
from geographer.operations.remove.withdraw import WithdrawRasters

withdraw_command = make_request_command("withdraw", WithdrawRasters)
