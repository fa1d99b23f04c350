//! Both decoders give the same answer, rejects included, and serde_json agrees on what is JSON.

use proptest::collection::vec;
use proptest::prelude::{
    BoxedStrategy, Just, ProptestConfig, Strategy, any, prop_assert_eq, prop_oneof, proptest,
};
use proptest::sample::select;

use super::super::{Column, Decoder};
use super::batch;
use crate::FieldType;

/// Name, type, nullable: one of each kind, two of them in an object.
const COLUMNS: [(&str, &str, bool); 14] = [
    ("i8", "int8", false),
    ("i64", "int64", true),
    ("u64", "uint64", false),
    ("f16", "float16", true),
    ("f32", "float32", false),
    ("f64", "float64", true),
    ("s", "string", false),
    ("t", "timestamp", true),
    ("b", "bool", false),
    ("raw", "bytes", true),
    ("list", "list<float32>", true),
    ("fixed", "int16[2]", true),
    ("in.a", "int32", false),
    ("in.b", "string", true),
];

fn decoder(learning: bool) -> Decoder {
    let columns = COLUMNS.map(|(path, kind, nullable)| Column {
        path: path.split('.').map(Into::into).collect(),
        kind: FieldType::parse(kind).unwrap(),
        nullable,
        name: path.into(),
    });
    let mut decoder = Decoder::with_columns(columns.into()).reserving(&["arm"]);
    decoder.learning = learning;
    decoder
}

/// A value that fits the kind, in every form that does.
fn fitting(kind: &'static str) -> BoxedStrategy<String> {
    let small = "(0|[1-9][0-9]?)";
    let signed = prop_oneof![4 => "-?(0|[1-9][0-9]?)", 1 => Just("-128".to_owned())];
    let decimal = prop_oneof![
        4 => "-?(0|[1-9][0-9]{0,3})\\.[0-9]{1,9}",
        2 => "-?[1-9][0-9]{0,3}(\\.[0-9]{1,25})?",
        1 => "-?[0-9](\\.[0-9]{1,3})?[eE][+-]?[0-3]",
        // Nearer to the middle between two float32 than a float64 can tell, in 16 digits.
        1 => any::<u32>().prop_map(|bits| {
            let low = f64::from(f32::from_bits(0x4080_0000 | bits >> 9));
            format!("{:.15}", f64::from_bits(low.to_bits() | 1 << 28))
        }),
    ];
    let joined = |open: &'static str, comma: &'static str, close: &'static str| {
        move |items: Vec<String>| format!("{open}{}{close}", items.join(comma))
    };
    let some = |values: &[&'static str]| select(values.to_vec()).prop_map(str::to_owned).boxed();
    match kind {
        "string" => prop_oneof![
            4 => "\"[a-zé ]{0,20}\"",
            1 => "\"(a|\\\\n|\\\\\"|\\\\u00e9|\\\\ud83d\\\\ude00){0,3}\"",
        ]
        .boxed(),
        "timestamp" => {
            let second = "\"20[0-9]{2}-0[1-9]-[0-2][1-8][Tt ][01][0-9]:[0-5][0-9]:[0-5][0-9]";
            (second, "(\\.[0-9]{1,8})?(Z|z|[+-]0[0-9]:30)\"")
                .prop_map(|(head, tail)| head + &tail)
                .boxed()
        }
        "bool" => some(&["true", "false"]),
        "bytes" => some(&["\"AAEC\"", "\"AA==\"", "\"\"", "\"A\\u0041EC\""]),
        "list<float32>" => vec(decimal, 0..4).prop_map(joined("[", ",", "]")).boxed(),
        "int16[2]" => vec(signed, 2..3).prop_map(joined("[ ", " , ", " ]")).boxed(),
        "float16" | "float32" | "float64" => prop_oneof![2 => decimal, 1 => signed].boxed(),
        "int64" => {
            prop_oneof![3 => "-?[1-9][0-9]{0,17}", 1 => some(&["-9223372036854775808"])].boxed()
        }
        "uint64" => {
            prop_oneof![3 => "[1-9][0-9]{0,18}", 1 => some(&["18446744073709551615", "-0"])].boxed()
        }
        "int8" => signed.boxed(),
        _ => small.boxed(),
    }
}

/// A value that fits few kinds or none.
fn strange() -> impl Strategy<Value = String> {
    let fixed = select(vec![
        "null",
        "NaN",
        "1.0",
        "\"\"",
        "{}",
        "[]",
        "{\"q\":[1,{}]}",
        "[[1]",
        "tru",
        "-",
        "1e999",
        "",
        "true",
        "[1,2]",
        "9223372036854775808",
        "18446744073709551616",
        "3.5e38",
        "65520",
        "[1,null]",
        "\"AA\"",
    ]);
    prop_oneof![
        3 => fixed.prop_map(str::to_owned),
        1 => "-?[0-9]{1,25}(\\.[0-9]{0,3})?([eE][+-]?[0-9]{0,3})?",
        1 => "\"(a|\\\\u00e9|\\\\ud83d|\\\\x|\u{1}|\\\\){0,3}\"",
        1 => "\"20[0-9]{2}-[0-9]{2}-[0-9]{2}.[0-9]{2}:[0-9]{2}:[0-9]{2}Z?\"",
    ]
}

/// A value that fits, null where that does.
fn value(kind: &'static str, nullable: bool) -> BoxedStrategy<String> {
    match nullable {
        true => prop_oneof![5 => fitting(kind), 1 => Just("null".to_owned())].boxed(),
        false => fitting(kind),
    }
}

/// A record as its members' names and values.
fn members() -> impl Strategy<Value = Vec<(String, String)>> {
    let known: Vec<_> = COLUMNS
        .iter()
        .filter(|(path, ..)| !path.contains('.'))
        .map(|(path, kind, nullable)| {
            value(kind, *nullable).prop_map(|value| ((*path).to_owned(), value)).boxed()
        })
        .collect();
    let object = (fitting("int32"), value("string", true), 0..40_u8).prop_map(|(a, b, form)| {
        let text = match form {
            0 => "null".into(),
            1 => format!("{{\"b\":{b},\"a\":{a}}}"),
            2 => format!("{{\"a\":{a},\"c\":{b}}}"),
            3 => format!("{{\"a\":{a},\"a\":{a}}}"),
            4 => "[1]".into(),
            _ => format!("{{\"a\":{a},\"b\":{b}}}"),
        };
        ("in".to_owned(), text)
    });
    let unknown = (
        select(vec!["u", "v", "arm", "\\u0073"]),
        select(vec!["1", "{\"a\":[null,{}]}", "\"x\"", "[1,"]),
    );
    let unknown = vec(unknown, 0..2).prop_map(|items| {
        items
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect::<Vec<_>>()
    });
    (known, object, prop_oneof![3 => Just(Vec::new()), 1 => unknown]).prop_map(
        |(mut members, object, unknown)| {
            members.push(object);
            members.extend(unknown);
            members
        },
    )
}

/// What happens to a record on its way.
#[derive(Clone, Debug)]
enum Mutation {
    None,
    Swap(usize, usize),
    Remove(usize),
    Replace(usize, String),
    Double(usize),
    Space(usize),
    Truncate(usize),
    Byte(usize, u8),
    Append(&'static str),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        24 => Just(Mutation::None),
        4 => (any::<usize>(), strange()).prop_map(|(at, value)| Mutation::Replace(at, value)),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(a, b)| Mutation::Swap(a, b)),
        2 => any::<usize>().prop_map(Mutation::Remove),
        1 => any::<usize>().prop_map(Mutation::Double),
        1 => any::<usize>().prop_map(Mutation::Space),
        1 => any::<usize>().prop_map(Mutation::Truncate),
        2 => (any::<usize>(), prop_oneof![any::<u8>(), select(b"\",:{}[]0e-. \\n".to_vec())])
            .prop_map(|(at, byte)| Mutation::Byte(at, byte)),
        1 => select(vec![" ", "\n", "x", "}", "{}"]).prop_map(Mutation::Append),
    ]
}

fn record() -> impl Strategy<Value = Vec<u8>> {
    (members(), mutation()).prop_map(|(mut members, mutation)| {
        let count = members.len();
        match &mutation {
            Mutation::Swap(a, b) => members.swap(a % count, b % count),
            Mutation::Remove(at) => drop(members.remove(at % count)),
            Mutation::Replace(at, value) => members[at % count].1.clone_from(value),
            Mutation::Double(at) => members.push(members[at % count].clone()),
            _ => {}
        }
        let text: Vec<String> =
            members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let mut record = format!("{{{}}}", text.join(",")).into_bytes();
        let len = record.len();
        match mutation {
            Mutation::Space(at) => {
                let colons: Vec<_> =
                    (0..len).filter(|at| matches!(record[*at], b':' | b',' | b'}')).collect();
                record.insert(colons[at % colons.len()], b' ');
            }
            Mutation::Truncate(at) => record.truncate(at % len),
            Mutation::Byte(at, byte) => record[at % len] = byte,
            Mutation::Append(text) => record.extend_from_slice(text.as_bytes()),
            Mutation::None
            | Mutation::Swap(..)
            | Mutation::Remove(_)
            | Mutation::Replace(..)
            | Mutation::Double(_) => {}
        }
        record
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn shapes_change_nothing(records in vec(record(), 1..24)) {
        let batch = batch(records.iter().map(|record| Some(&record[..])));
        let (mut learning, mut general) = (decoder(true), decoder(false));
        let (fast, right) = (learning.decode(&batch), general.decode(&batch));
        prop_assert_eq!(&fast.rejects, &right.rejects);
        prop_assert_eq!(&fast.rows, &right.rows);
        prop_assert_eq!(&fast.object_ends, &right.object_ends);
        prop_assert_eq!(&fast.events, &right.events);
        // Again, now that the shapes are known from the start.
        let again = learning.decode(&batch);
        prop_assert_eq!(&again.events, &right.events);
        prop_assert_eq!(&again.rejects, &right.rejects);
        prop_assert_eq!(&again.object_ends, &right.object_ends);
        for (row, end) in right.rows.iter().zip(&right.object_ends) {
            let record = &records[*row as usize];
            prop_assert_eq!(record[*end as usize], b'}');
            prop_assert_eq!(record[*end as usize + 1..].trim_ascii().len(), 0);
        }
        // Whatever is accepted is JSON; whatever is called "not JSON" is not, to another parser either.
        // serde_json alone also wants every number within float64, so such a case is left out.
        let json = |row: u32| serde_json::from_slice::<serde_json::Value>(&records[row as usize]);
        for row in &right.rows {
            let refused = json(*row).err().map(|error| error.to_string());
            prop_assert_eq!(refused.filter(|why| !why.contains("out of range")), None);
        }
        for reject in right.rejects.iter().filter(|reject| reject.reason.contains("not JSON at")) {
            prop_assert_eq!(json(reject.row).is_err(), true, "{}", reject.reason);
        }
    }

    #[test]
    fn any_bytes_are_survived(record in vec(any::<u8>(), 0..64), value in vec(select(b"{}[]\",:0-e.\\ua".to_vec()), 0..24)) {
        let mut event = b"{\"u\":".to_vec();
        event.extend_from_slice(&value);
        event.push(b'}');
        let decoded = decoder(true).decode(&batch([Some(&record[..]), Some(&event)]));
        prop_assert_eq!(decoded.rejects.len(), 2);
        let syntax = decoded.rejects[1].reason.contains("not JSON");
        let serde = serde_json::from_slice::<serde_json::Value>(&event);
        let out_of_range = serde.as_ref().is_err_and(|error| error.to_string().contains("out of range"));
        if !out_of_range && !decoded.rejects[1].reason.contains("nested") {
            // A valid event fails for another reason: its required members are missing.
            prop_assert_eq!(syntax, serde.is_err(), "{:?}: {}", String::from_utf8_lossy(&event), decoded.rejects[1].reason);
        }
    }
}
