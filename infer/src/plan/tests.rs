//! Plans: descriptor, contract and graph held against each other.

use super::*;
use crate::Descriptor;

/// Plans `features` of a contract with every type, in a tensor of `dtype` and `shape`.
fn plan(dtype: &str, shape: &str, features: &str, more: &str) -> Result<Plan, Problems> {
    let types = [
        "bool",
        "int16",
        "uint64",
        "float64",
        "string",
        "bytes",
        "timestamp",
        "float32[3]",
        "list<int8>",
    ];
    let fields = types.map(|kind| format!("[[fields]]\nname = {kind:?}\ntype = {kind:?}\n"));
    let contract = Contract::from_toml(&format!("name = \"c\"\n{}", fields.join(""))).unwrap();
    let descriptor = Descriptor::from_toml(&format!(
        "format = \"onnx\"\nsha256 = \"{}\"\nopset = 17\nmax_batch_rows = 9\n[[inputs]]\ntensor = \"X\"\n\
         dtype = {dtype:?}\nshape = {shape}\nfeatures = {features}\n{more}\n[[outputs]]\nname = \"y\"\n\
         tensor = \"Y\"\ndtype = \"float32\"\nkind = \"value\"\n",
        "0".repeat(64)
    ));
    Plan::new(&descriptor.unwrap(), &contract)
}

#[test]
fn which_field_goes_into_which_tensor() {
    let elements = ["bool", "uint8", "int64", "float16", "float64", "string"];
    // One letter per tensor type above: yes, checked value by value, no.
    for (field, expected) in [
        ("bool", "yyyyyn"),
        ("int16", "ncyyyn"),
        ("uint64", "nccyyn"),
        ("float64", "nnnyyn"),
        ("string", "nnnnny"),
        ("bytes", "nnnnnn"),
        ("timestamp", "nnynyn"),
    ] {
        let found: String = elements
            .iter()
            .map(|dtype| match plan(dtype, "[-1, 1]", &format!("[{field:?}]"), "") {
                Ok(plan) if plan.inputs[0].sources[0].checked => 'c',
                Ok(_) => 'y',
                Err(_) => 'n',
            })
            .collect();
        assert_eq!(found, expected, "{field}");
    }
}

#[test]
fn features_lie_one_behind_the_other() {
    let coded = "[[inputs.categories]]\nfeature = \"string\"\nvalues = [\"a\", \"b\"]\ncoding = \"one_hot\"\nunknown = \"ignore\"";
    let features = "[\"int16\", \"float32[3]\", \"string\", \"list<int8>\", \"bool\"]";
    let plan = plan("float32", "[-1, 11]", features, coded).unwrap();
    let input = &plan.inputs[0];
    let offsets: Vec<usize> = input.sources.iter().map(|source| source.offset).collect();
    assert_eq!((offsets, input.width), (vec![0, 1, 4, 6, 10], Some(11)));
    assert!(matches!(input.sources[3].shape, SourceShape::List(Some(4))));
}

#[test]
fn widths_that_do_not_come_out() {
    for (shape, features, accepted) in [
        ("[-1, 2]", "[\"int16\", \"bool\"]", true),
        ("[-1, -1]", "[\"int16\", \"bool\"]", true),
        ("[4]", "[\"int16\"]", true),
        ("[-1, 3, 1]", "[\"float32[3]\"]", true),
        ("[-1, -1]", "[\"list<int8>\"]", true),
        ("[-1, 2, -1]", "[\"float32[3]\"]", false),
        ("[-1]", "[\"int16\", \"bool\"]", false),
        ("[-1, 3]", "[\"int16\", \"bool\"]", false),
        ("[-1, -1]", "[\"list<int8>\", \"bool\"]", false),
        ("[-1, 1]", "[\"bool\", \"list<int8>\"]", false),
    ] {
        assert_eq!(plan("float32", shape, features, "").is_ok(), accepted, "{shape} {features}");
    }
}

#[test]
fn a_fixed_batch_is_the_most_rows() {
    let of = |shape| plan("float32", shape, "[\"int16\"]", "").unwrap();
    assert_eq!((of("[4]").fixed_rows, of("[4]").max_rows), (Some(4), 4));
    assert_eq!((of("[-1]").fixed_rows, of("[-1]").max_rows), (None, 9));
}
