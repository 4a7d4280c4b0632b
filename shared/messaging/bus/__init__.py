"""RabbitMQ, behind a publisher and a consumer; `amqp.py` is the one file that imports pika.

Topology and permissions come from the definitions file that the broker starts with; here they are only checked. The
account is in the URL, and its name is every message's `user_id`, which the broker verifies.
"""

from shared.messaging.bus.consumer import Consumer
from shared.messaging.bus.publisher import Outcome, Publisher, Sent

__all__ = ["Consumer", "Outcome", "Publisher", "Sent"]
