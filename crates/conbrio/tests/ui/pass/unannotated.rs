//! What users write, without one annotation of a nursery's error type: `?` alone decides it.
//!
//! With exactly one `From<NurseryError<_>>` into each error type this compiles; a second one into
//! `io::Error` would break it.
// spec: S17, S27, S38

use conbrio::prelude::*;
use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Has the signatures of a listener; the accept loop below ends when it has nothing more.
struct Listener(usize);

struct Stream(usize);

impl Listener {
    fn accept(&mut self, cx: &mut Cx) -> Result<(Stream, usize), OrCancelled<io::Error>> {
        cx.yield_now()?;
        match self.0.checked_sub(1) {
            Some(left) => self.0 = left,
            None => return Err(io::Error::from(io::ErrorKind::ConnectionAborted).into()),
        }
        Ok((Stream(self.0), self.0))
    }
}

impl Stream {
    fn echo(&mut self, cx: &mut Cx) -> io::Result<()> {
        cx.yield_now()?;
        self.0 += 1;
        Ok(())
    }

    fn write_all(&mut self, cx: &mut Cx, data: &[u8]) -> Result<(), OrCancelled<io::Error>> {
        cx.yield_now()?;
        self.0 += data.len();
        Ok(())
    }
}

/// The program of the front page.
fn serve(cx: &mut Cx, hits: &AtomicUsize) -> io::Result<()> {
    let mut listener = Listener(10);
    cx.nursery(|cx, n| {
        loop {
            let (mut stream, _) = listener.accept(cx)?;
            n.spawn(move |cx| {
                hits.fetch_add(1, Relaxed);
                let Some(()) = cx.move_on_after(Duration::from_secs(30), |cx| stream.echo(cx))?
                else {
                    return stream.write_all(cx, b"too slow\n").map_err(Into::into);
                };
                Ok(())
            });
        }
    })?;
    Ok(())
}

/// Two children in a function that returns `io::Result`.
fn both(cx: &mut Cx) -> io::Result<usize> {
    let sum = cx.nursery(|cx, n| {
        let mut one = n.spawn(|cx| {
            Stream(0).echo(cx)?;
            Ok(1)
        });
        let mut two = n.spawn(|_| Ok(2));
        Ok(one.join(cx)? + two.join(cx)?)
    })?;
    Ok(sum)
}

type Dynamic = Box<dyn Error + Send + Sync>;

/// A `Box<dyn Error>` is no `Error`, so that `?` alone cannot box what a nursery of them returns.
fn boxed(error: NurseryError<Dynamic>) -> Dynamic {
    match error {
        NurseryError::Failed(errors) => errors.into_first(),
        NurseryError::Cancelled(cancelled) => cancelled.into(),
        NurseryError::Stopped(stopped) => stopped.into(),
    }
}

fn dynamic(cx: &mut Cx, text: &'static str) -> Result<usize, Dynamic> {
    let parsed = cx
        .nursery(|cx, n| {
            let mut child = n.spawn(|cx| {
                cx.yield_now()?;
                Ok(text.parse::<usize>()?)
            });
            Ok(child.join(cx)?)
        })
        .map_err(boxed)?;
    Ok(parsed)
}

#[derive(Debug)]
enum Mine {
    Cancelled(Cancelled),
    Parse(std::num::ParseIntError),
    Children(Vec<Mine>),
    Stopped,
}

impl MaybeCancelled for Mine {
    fn cancelled(&self) -> Option<&Cancelled> {
        match self {
            Mine::Cancelled(cancelled) => Some(cancelled),
            Mine::Parse(_) | Mine::Children(_) | Mine::Stopped => None,
        }
    }
}

impl From<Cancelled> for Mine {
    fn from(cancelled: Cancelled) -> Mine {
        Mine::Cancelled(cancelled)
    }
}

impl From<std::num::ParseIntError> for Mine {
    fn from(error: std::num::ParseIntError) -> Mine {
        Mine::Parse(error)
    }
}

/// The one `#[from]` that a user's enum needs.
impl From<NurseryError<Mine>> for Mine {
    fn from(error: NurseryError<Mine>) -> Mine {
        match error {
            NurseryError::Failed(errors) => Mine::Children(errors.into_vec()),
            NurseryError::Cancelled(cancelled) => Mine::Cancelled(cancelled),
            NurseryError::Stopped(_) => Mine::Stopped,
        }
    }
}

fn mine(cx: &mut Cx, text: &str) -> Result<usize, Mine> {
    let parsed = cx.nursery(|cx, n| {
        let mut child = n.spawn(|cx| {
            cx.yield_now()?;
            Ok(text.parse::<usize>()?)
        });
        Ok(child.join(cx)?)
    })?;
    Ok(parsed)
}

fn main() {
    conbrio::run(|cx| {
        let hits = AtomicUsize::new(0);
        let end = serve(cx, &hits);
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(hits.into_inner(), 10);

        assert_eq!(both(cx).unwrap(), 3);
        assert_eq!(dynamic(cx, "12").unwrap(), 12);
        assert!(
            dynamic(cx, "twelve")
                .unwrap_err()
                .is::<std::num::ParseIntError>()
        );
        assert_eq!(mine(cx, "12").unwrap(), 12);
        let failed = mine(cx, "twelve").unwrap_err();
        assert!(matches!(&failed, Mine::Children(all) if matches!(all[..], [Mine::Parse(_)])));

        // Plain waits: the error type is that of the waits themselves.
        let plain = cx.nursery(|cx, n| {
            n.spawn(|cx| cx.yield_now());
            cx.yield_now()
        });
        assert!(plain.is_ok());
    });
}
