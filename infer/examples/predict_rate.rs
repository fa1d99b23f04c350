//! How long a row takes from record batch to record batch, by batch size:
//! `cargo run --release --workspace --example predict_rate -- [FOLDER OF A TEST MODEL]`.
//!
//! The model is the MLP(64,32) of the test data with 15 float features; the figure to hold is in the
//! design's performance budget (0.09 µs a row at batch 1024, the model alone).

use std::path::Path;
use std::time::{Duration, Instant};

use infer::{OnnxPredictor, Package, Runtime, init};
use schemas::{Contract, Predictor};

/// Time measured for each batch size.
const MEASURED: Duration = Duration::from_secs(2);

#[allow(clippy::print_stdout, reason = "an example reports to the terminal")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/mlp.onnx");
    let fields =
        (0..15).map(|index| format!("[[fields]]\nname = \"f{index}\"\ntype = \"float32\"\n"));
    let contract =
        Contract::from_toml(&format!("name = \"rate\"\n{}", fields.collect::<String>()))?;
    let root = std::env::temp_dir().join(format!("predict_rate-{}", std::process::id()));
    let folder = root.join("mlp/1");
    std::fs::create_dir_all(&folder)?;
    std::fs::copy(&model, folder.join("model.onnx"))?;
    let mut descriptor = init(&model, Some(&contract))?;
    descriptor.max_batch_rows = 4096;
    std::fs::write(folder.join("model.toml"), descriptor.to_toml())?;
    let package = Package::open(&folder)?;
    std::fs::remove_dir_all(&root)?;
    let mut predictor = OnnxPredictor::new(&Runtime::find()?, &package, &contract)?;
    predictor.warm_up(&package, &contract)?;
    for rows in [1, 32, 256, 1024, 4096] {
        let events = infer::check::sample(&package, &contract, rows);
        let (start, mut calls) = (Instant::now(), 0u32);
        while start.elapsed() < MEASURED {
            predictor.predict(&events)?;
            calls += 1;
        }
        let micros = start.elapsed().as_secs_f64() * 1e6 / (f64::from(calls) * rows as f64);
        println!("{rows:>5} rows a call: {micros:.3} µs a row");
    }
    Ok(())
}
