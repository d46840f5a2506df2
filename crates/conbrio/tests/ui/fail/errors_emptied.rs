//! Attack: an empty list of errors, whose first element does not exist.
//! Fails: there is no way to make or to empty one.
// spec: N12

use conbrio::Errors;

fn empty(errors: &mut Errors<String>) {
    let _ = std::mem::take(errors);
    errors.clear();
}

fn main() {
    let _: fn(&mut Errors<String>) = empty;
}
