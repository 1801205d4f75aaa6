"""Rows that are requested become work of a worker, and no row is left behind: the dispatcher.

    requested ──▶ scheduled ──▶ running ──▶ completed, failed, cancelled
        ▲  │          │            │
        │  │          │            └─▶ abandoned   its worker is gone
        │  │          └─ taken back: not claimed for a second while another worker has a free slot, its worker leaves,
        └──┘             or its message was lost
           └─▶ failed    nothing fits for longer than dispatcher.wait_for_worker

Rows are the queue, messages and notifications only wake. Every change is a conditional update, so that any number of
dispatchers, and a dispatcher of another implementation, may look at the same rows. Placing is done by one dispatcher at
a time (a lock of the transaction), because two would give away the same slots. The monitors have one leader.
"""
