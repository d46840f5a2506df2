//! Functions generic over the error, with the bounds that a nursery and a scope ask for.
// spec: S27, S35

use conbrio::prelude::*;
use std::error::Error;
use std::io;
use std::time::Duration;

/// A layer that knows nothing of the errors below it, but that they carry cancellations.
fn both<E>(
    cx: &mut Cx,
    f: impl Fn(&mut Cx) -> Result<u32, E> + Sync,
) -> Result<u32, NurseryError<E>>
where
    E: MaybeCancelled + From<Cancelled> + Send + 'static,
{
    cx.nursery(|cx, n| {
        let mut child = n.spawn(|cx| f(cx));
        let own = f(cx)?;
        Ok(own + child.join(cx)?)
    })
}

fn patient<T, E>(cx: &mut Cx, f: impl FnOnce(&mut Cx) -> Result<T, E>) -> Result<Option<T>, E>
where
    E: MaybeCancelled + From<Cancelled>,
{
    cx.checkpoint()?;
    cx.move_on_after(Duration::from_secs(600), f)
}

fn main() {
    conbrio::run(|cx| {
        assert_eq!(both(cx, |cx| cx.checkpoint().map(|()| 1)).unwrap(), 2);
        assert_eq!(both(cx, |_| Ok::<_, io::Error>(2)).unwrap(), 4);
        let failed = both(cx, |_| {
            Err::<u32, io::Error>(io::ErrorKind::NotFound.into())
        });
        assert_eq!(
            io::Error::from(failed.unwrap_err()).kind(),
            io::ErrorKind::NotFound
        );
        let boxed = both(cx, |_| {
            Err::<u32, Box<dyn Error + Send + Sync>>("lost".into())
        });
        assert!(boxed.unwrap_err().to_string().starts_with("lost"));
        assert_eq!(
            patient(cx, |_| Ok::<_, OrCancelled<io::Error>>(3)).unwrap(),
            Some(3)
        );
    });
}
