//! Attack: a type of the user's own passes for a nursery.
//! Fails: a nursery is a struct; there is nothing to implement or to extend.
// spec: test_run.Nursery_subclass

use conbrio::Nursery;

struct Mine;

impl Nursery for Mine {}

fn main() {}
