//! `?` carries every error of this crate into the error types that programs use.
// spec: S27, S39, S40

use conbrio::prelude::*;
use std::error::Error;
use std::io;
use std::time::Duration;

type Dynamic = Box<dyn Error + Send + Sync>;

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_micros(1);

fn wait_io(cx: &mut Cx) -> io::Result<()> {
    cx.yield_now()?;
    cx.fail_after(LONG, |cx| cx.yield_now())?;
    cx.fail_after(LONG, wait_or_fail)?;
    cx.move_on_after(LONG, wait_or_fail)?;
    wait_or_fail(cx)?;
    cx.nursery(|_, n| {
        n.spawn(|cx| cx.yield_now().map_err(io::Error::from));
        Ok(())
    })?;
    Ok(())
}

fn wait_or_fail(cx: &mut Cx) -> Result<(), OrCancelled<io::Error>> {
    cx.yield_now()?;
    Err(io::Error::from(io::ErrorKind::AddrInUse)).or_else(|error: io::Error| {
        match error.kind() {
            io::ErrorKind::AddrInUse => Ok(()),
            _ => Err(error),
        }
    })?;
    Ok(())
}

fn wait_dynamic(cx: &mut Cx) -> Result<(), Dynamic> {
    cx.yield_now()?;
    wait_io(cx)?;
    wait_or_fail(cx)?;
    cx.fail_after(LONG, |cx| cx.yield_now())?;
    cx.nursery(|_, n| {
        n.spawn(|cx| cx.yield_now());
        Ok(())
    })?;
    Ok(())
}

#[derive(Debug)]
enum Mine {
    Cancelled(Cancelled),
    Io(io::Error),
    Late,
}

impl MaybeCancelled for Mine {
    fn cancelled(&self) -> Option<&Cancelled> {
        match self {
            Mine::Cancelled(cancelled) => Some(cancelled),
            Mine::Io(error) => error.cancelled(),
            Mine::Late => None,
        }
    }
}

impl From<Cancelled> for Mine {
    fn from(cancelled: Cancelled) -> Mine {
        Mine::Cancelled(cancelled)
    }
}

impl From<io::Error> for Mine {
    fn from(error: io::Error) -> Mine {
        Mine::Io(error)
    }
}

impl From<TimedOut> for Mine {
    fn from(_: TimedOut) -> Mine {
        Mine::Late
    }
}

impl<E: Into<Mine>> From<OrTimedOut<E>> for Mine {
    fn from(error: OrTimedOut<E>) -> Mine {
        match error {
            OrTimedOut::TimedOut(late) => late.into(),
            OrTimedOut::Failed(error) => error.into(),
        }
    }
}

fn wait_mine(cx: &mut Cx) -> Result<(), Mine> {
    cx.yield_now()?;
    wait_io(cx)?;
    cx.fail_after(LONG, |cx| cx.yield_now())?;
    Ok(())
}

fn main() {
    conbrio::run(|cx| {
        wait_io(cx).unwrap();
        wait_dynamic(cx).unwrap();
        wait_mine(cx).unwrap();

        // A cancellation is recognised by its scope in whatever it travels.
        let stop = |cx: &mut Cx, scope: &CancelScope<'_>| {
            scope.cancel();
            cx.checkpoint_if_cancelled()
        };
        let caught = cx.cancel_scope(|cx, scope| Ok::<_, io::Error>(stop(cx, scope)?));
        assert!(caught.unwrap().is_none());
        let caught = cx.cancel_scope(|cx, scope| Ok::<_, Dynamic>(stop(cx, scope)?));
        assert!(caught.unwrap().is_none());
        let caught = cx.cancel_scope(|cx, scope| Ok::<_, Mine>(stop(cx, scope)?));
        assert!(caught.unwrap().is_none());
        let caught = cx.cancel_scope(|cx, scope| Ok::<_, OrCancelled<io::Error>>(stop(cx, scope)?));
        assert!(caught.unwrap().is_none());

        let late = cx.fail_after(SHORT, |cx| cx.sleep_forever());
        assert!(matches!(late.map_err(Mine::from), Err(Mine::Late)));
        let late = cx.fail_after(SHORT, |cx| cx.sleep_forever());
        assert_eq!(
            late.map_err(io::Error::from).unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
    });
}
