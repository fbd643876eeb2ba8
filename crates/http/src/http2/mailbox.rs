//! What others leave for a connection's task.

use std::sync::{Arc, Mutex};

use tidewire_engine::Order;

use super::bell::{Bell, Task};

/// What is to be done in the connection's shard.
pub(crate) struct Mailbox {
    /// Held for a push or a swap only. `None` once the connection is over.
    orders: Mutex<Option<Vec<Order>>>,
    bell: Arc<Bell>,
}

impl Mailbox {
    pub(super) fn new(task: &Arc<Task>) -> Arc<Self> {
        Arc::new(Self {
            orders: Mutex::new(Some(Vec::new())),
            bell: Bell::new(task),
        })
    }

    /// Has the connection do something. Dropped, and so never answered, if it is over.
    pub(crate) fn order(&self, order: Order) {
        let mut order = Some(order);
        if let Some(orders) = &mut *self.orders.lock().expect("held for a push only") {
            orders.extend(order.take());
        }
        self.bell.ring();
    }

    /// What is to be done.
    pub(super) fn take(&self) -> Vec<Order> {
        if !self.bell.take() {
            return Vec::new();
        }
        let mut orders = self.orders.lock().expect("held for a swap only");
        orders.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The connection is over.
    pub(super) fn close(&self) {
        let orders = self.orders.lock().expect("held for a swap only").take();
        drop(orders);
    }
}
