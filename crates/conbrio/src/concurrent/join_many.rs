//! Join for three to eight arms of different types.
//!
//! They are functions, not one that takes a tuple: only as an argument of its own does a closure know that
//! its parameter is a `&mut Cx`, so that `|cx| ..` needs no annotation.

use crate::cancel::MaybeCancelled;
use crate::nursery::NurseryError;
use crate::task::Cx;

use super::arms::{begin, name_of};
use super::join::ALL_ENDED;

/// The body of all of them. They differ in the number of arms only, which no function can abstract from.
macro_rules! join_arms {
    ($cx:ident, $($arm:ident => $value:ident),+; $last:ident) => {{
        $(let mut $value = None;)+
        let last = $cx.nursery(|cx, n| {
            $(begin(cx, n, name_of(&$arm), |cx| {
                $value = Some($arm(cx)?);
                Ok(())
            })?;)+
            $last(cx)
        })?;
        Ok(($($value.expect(ALL_ENDED),)+ last))
    }};
}

impl Cx {
    /// As [`join`](Cx::join), with three arms. The last one runs in the calling task.
    ///
    /// # Cancellation
    ///
    /// As [`join`](Cx::join).
    ///
    /// # Errors
    ///
    /// As [`join`](Cx::join).
    ///
    /// # Panics
    ///
    /// As [`join`](Cx::join).
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    ///
    /// let all = conbrio::run(|cx| -> Result<_, NurseryError<Cancelled>> {
    ///     cx.join3(|_| Ok(1), |cx| cx.yield_now(), |_| Ok("three"))
    /// });
    /// assert_eq!(all.unwrap(), (1, (), "three"));
    /// ```
    pub fn join3<A, B, C, Error>(
        &mut self,
        a: impl FnOnce(&mut Cx) -> Result<A, Error> + Send,
        b: impl FnOnce(&mut Cx) -> Result<B, Error> + Send,
        c: impl FnOnce(&mut Cx) -> Result<C, Error>,
    ) -> Result<(A, B, C), NurseryError<Error>>
    where
        A: Send,
        B: Send,
        Error: MaybeCancelled + Send + 'static,
    {
        join_arms!(self, a => of_a, b => of_b; c)
    }

    /// As [`join`](Cx::join), with four arms. The last one runs in the calling task.
    ///
    /// # Cancellation
    ///
    /// As [`join`](Cx::join).
    ///
    /// # Errors
    ///
    /// As [`join`](Cx::join).
    ///
    /// # Panics
    ///
    /// As [`join`](Cx::join).
    pub fn join4<A, B, C, D, Error>(
        &mut self,
        a: impl FnOnce(&mut Cx) -> Result<A, Error> + Send,
        b: impl FnOnce(&mut Cx) -> Result<B, Error> + Send,
        c: impl FnOnce(&mut Cx) -> Result<C, Error> + Send,
        d: impl FnOnce(&mut Cx) -> Result<D, Error>,
    ) -> Result<(A, B, C, D), NurseryError<Error>>
    where
        A: Send,
        B: Send,
        C: Send,
        Error: MaybeCancelled + Send + 'static,
    {
        join_arms!(self, a => of_a, b => of_b, c => of_c; d)
    }

    /// As [`join`](Cx::join), with five arms. The last one runs in the calling task.
    ///
    /// # Cancellation
    ///
    /// As [`join`](Cx::join).
    ///
    /// # Errors
    ///
    /// As [`join`](Cx::join).
    ///
    /// # Panics
    ///
    /// As [`join`](Cx::join).
    pub fn join5<A, B, C, D, E, Error>(
        &mut self,
        a: impl FnOnce(&mut Cx) -> Result<A, Error> + Send,
        b: impl FnOnce(&mut Cx) -> Result<B, Error> + Send,
        c: impl FnOnce(&mut Cx) -> Result<C, Error> + Send,
        d: impl FnOnce(&mut Cx) -> Result<D, Error> + Send,
        e: impl FnOnce(&mut Cx) -> Result<E, Error>,
    ) -> Result<(A, B, C, D, E), NurseryError<Error>>
    where
        A: Send,
        B: Send,
        C: Send,
        D: Send,
        Error: MaybeCancelled + Send + 'static,
    {
        join_arms!(self, a => of_a, b => of_b, c => of_c, d => of_d; e)
    }

    /// As [`join`](Cx::join), with six arms. The last one runs in the calling task.
    ///
    /// # Cancellation
    ///
    /// As [`join`](Cx::join).
    ///
    /// # Errors
    ///
    /// As [`join`](Cx::join).
    ///
    /// # Panics
    ///
    /// As [`join`](Cx::join).
    pub fn join6<A, B, C, D, E, F, Error>(
        &mut self,
        a: impl FnOnce(&mut Cx) -> Result<A, Error> + Send,
        b: impl FnOnce(&mut Cx) -> Result<B, Error> + Send,
        c: impl FnOnce(&mut Cx) -> Result<C, Error> + Send,
        d: impl FnOnce(&mut Cx) -> Result<D, Error> + Send,
        e: impl FnOnce(&mut Cx) -> Result<E, Error> + Send,
        f: impl FnOnce(&mut Cx) -> Result<F, Error>,
    ) -> Result<(A, B, C, D, E, F), NurseryError<Error>>
    where
        A: Send,
        B: Send,
        C: Send,
        D: Send,
        E: Send,
        Error: MaybeCancelled + Send + 'static,
    {
        join_arms!(self, a => of_a, b => of_b, c => of_c, d => of_d, e => of_e; f)
    }

    /// As [`join`](Cx::join), with seven arms. The last one runs in the calling task.
    ///
    /// # Cancellation
    ///
    /// As [`join`](Cx::join).
    ///
    /// # Errors
    ///
    /// As [`join`](Cx::join).
    ///
    /// # Panics
    ///
    /// As [`join`](Cx::join).
    pub fn join7<A, B, C, D, E, F, G, Error>(
        &mut self,
        a: impl FnOnce(&mut Cx) -> Result<A, Error> + Send,
        b: impl FnOnce(&mut Cx) -> Result<B, Error> + Send,
        c: impl FnOnce(&mut Cx) -> Result<C, Error> + Send,
        d: impl FnOnce(&mut Cx) -> Result<D, Error> + Send,
        e: impl FnOnce(&mut Cx) -> Result<E, Error> + Send,
        f: impl FnOnce(&mut Cx) -> Result<F, Error> + Send,
        g: impl FnOnce(&mut Cx) -> Result<G, Error>,
    ) -> Result<(A, B, C, D, E, F, G), NurseryError<Error>>
    where
        A: Send,
        B: Send,
        C: Send,
        D: Send,
        E: Send,
        F: Send,
        Error: MaybeCancelled + Send + 'static,
    {
        join_arms!(self, a => of_a, b => of_b, c => of_c, d => of_d, e => of_e, f => of_f; g)
    }

    /// As [`join`](Cx::join), with eight arms. The last one runs in the calling task.
    ///
    /// # Cancellation
    ///
    /// As [`join`](Cx::join).
    ///
    /// # Errors
    ///
    /// As [`join`](Cx::join).
    ///
    /// # Panics
    ///
    /// As [`join`](Cx::join).
    pub fn join8<A, B, C, D, E, F, G, H, Error>(
        &mut self,
        a: impl FnOnce(&mut Cx) -> Result<A, Error> + Send,
        b: impl FnOnce(&mut Cx) -> Result<B, Error> + Send,
        c: impl FnOnce(&mut Cx) -> Result<C, Error> + Send,
        d: impl FnOnce(&mut Cx) -> Result<D, Error> + Send,
        e: impl FnOnce(&mut Cx) -> Result<E, Error> + Send,
        f: impl FnOnce(&mut Cx) -> Result<F, Error> + Send,
        g: impl FnOnce(&mut Cx) -> Result<G, Error> + Send,
        h: impl FnOnce(&mut Cx) -> Result<H, Error>,
    ) -> Result<(A, B, C, D, E, F, G, H), NurseryError<Error>>
    where
        A: Send,
        B: Send,
        C: Send,
        D: Send,
        E: Send,
        F: Send,
        G: Send,
        Error: MaybeCancelled + Send + 'static,
    {
        join_arms!(self, a => of_a, b => of_b, c => of_c, d => of_d, e => of_e, f => of_f, g => of_g; h)
    }
}
