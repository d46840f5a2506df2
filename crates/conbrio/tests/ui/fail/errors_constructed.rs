//! Attack: a list of errors from an empty vector.
//! Fails: the constructor and the field are private, and there is no conversion.
// spec: N12

use conbrio::Errors;

fn main() {
    let _ = Errors::<String> { errors: Vec::new() };
    let _ = Errors::<String>::new(Vec::new());
    let _ = Errors::<String>::from(Vec::new());
    let _ = Vec::<String>::new().into_iter().collect::<Errors<String>>();
}
