//! What most programs need: `use conbrio::prelude::*;`.

pub use crate::net::{TcpListener, TcpStream};
pub use crate::{
    CancelHandle, CancelScope, Cancelled, Cx, MaybeCancelled, Nursery, NurseryError, OrCancelled,
    OrTimedOut, TimedOut,
};
