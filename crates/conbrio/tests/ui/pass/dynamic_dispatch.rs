//! Waiting behind `dyn`: closures, function pointers and trait objects that take `&mut Cx`.
// spec: S49, S72

use conbrio::prelude::*;
use std::time::Duration;

trait Step: Send + Sync {
    fn go(&self, cx: &mut Cx, value: u32) -> Result<u32, Cancelled>;
}

struct Add(u32);

impl Step for Add {
    fn go(&self, cx: &mut Cx, value: u32) -> Result<u32, Cancelled> {
        cx.yield_now()?;
        Ok(value + self.0)
    }
}

impl<F> Step for F
where
    F: Fn(&mut Cx, u32) -> Result<u32, Cancelled> + Send + Sync,
{
    fn go(&self, cx: &mut Cx, value: u32) -> Result<u32, Cancelled> {
        self(cx, value)
    }
}

fn double(cx: &mut Cx, value: u32) -> Result<u32, Cancelled> {
    cx.checkpoint()?;
    Ok(value * 2)
}

/// What a scope takes is an ordinary type with a name.
fn in_time<T>(
    cx: &mut Cx,
    f: &mut dyn FnMut(&mut Cx) -> Result<T, Cancelled>,
) -> Result<Option<T>, Cancelled> {
    cx.move_on_after(Duration::from_secs(600), f)
}

fn three(cx: &mut Cx) -> Result<u32, Cancelled> {
    cx.yield_now()?;
    Ok(3)
}

fn main() {
    conbrio::run(|cx| -> Result<(), Cancelled> {
        let pointer: fn(&mut Cx, u32) -> Result<u32, Cancelled> = double;
        let steps: Vec<Box<dyn Step>> = vec![
            Box::new(Add(5)),
            Box::new(pointer),
            Box::new(|cx: &mut Cx, value: u32| cx.yield_now().map(|()| value + 1)),
        ];
        let mut value = 0;
        for step in &steps {
            value = step.go(cx, value)?;
        }
        assert_eq!(value, 11);

        let jobs: Vec<Box<dyn FnOnce(&mut Cx) -> Result<u32, Cancelled> + Send>> =
            vec![Box::new(three), Box::new(move |cx| double(cx, value))];
        let sum = cx.nursery(|cx, n| {
            let mut children: Vec<_> = jobs.into_iter().map(|job| n.spawn(job)).collect();
            children
                .iter_mut()
                .map(|child| child.join(cx))
                .sum::<Result<u32, Cancelled>>()
        });
        assert_eq!(sum.unwrap(), 25);

        assert_eq!(in_time(cx, &mut three)?, Some(3));
        let apply: fn(&mut Cx) -> Result<u32, Cancelled> = three;
        assert_eq!(cx.move_on_after(Duration::from_secs(600), apply)?, Some(3));
        Ok(())
    })
    .unwrap();
}
