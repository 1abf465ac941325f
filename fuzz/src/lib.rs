//! What every target does: one reader, one input.

/// Reads an input by the reader of that name; what it says is of no interest here.
pub fn drive(name: &str, input: &[u8]) {
    let reader = latchkey::fuzz::reader(name).expect("every target has the name of a reader");
    (reader.read)(input);
}
