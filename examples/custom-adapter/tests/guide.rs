//! The guide shows this adapter, and no other.

const GUIDE: &str = include_str!("../../../conformance/GUIDE.md");

const SOURCES: [&str; 3] =
    [include_str!("../src/lib.rs"), include_str!("conformance.rs"), include_str!("shutdown.rs")];

#[test]
fn all_the_rust_in_the_guide_stands_in_the_adapter() {
    let mut shown = 0;
    for block in GUIDE.split("```rust,ignore\n").skip(1) {
        let (code, _) = block.split_once("```").expect("the end of the code");
        assert!(SOURCES.iter().any(|source| source.contains(code)), "the adapter has no such lines:\n{code}");
        shown += 1;
    }
    assert!(shown > 10, "the guide shows {shown} pieces only");
}
