import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/** One batch of events to features, through the model, and to the bytes of its results. */
final class Scorer {
  private static final DateTimeFormatter MILLIS =
      DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.SSS'Z'").withZone(ZoneOffset.UTC);
  private static final byte[] OFFSET = bytes(",\"offset\":");
  private static final byte[] TIMESTAMP = bytes(",\"timestamp\":");
  private static final byte[] END = bytes("}}");

  /** An output of the descriptor: where its number lies in a row, and the labels if it is one. */
  private record Output(byte[] head, String tensor, int column, byte[][] classes, float threshold) {}

  private final JsonFactory json = new JsonFactory();
  private final Map<String, Integer> features = new HashMap<>();
  private final float[] fill;
  private final Output[] outputs;
  private final String modelName;
  private final String modelVersion;
  private final String tensor;
  private final OrtEnvironment environment = OrtEnvironment.getEnvironment();
  private final OrtSession session;
  private final Map<String, float[]> answers = new HashMap<>();
  private final Map<String, Integer> widths = new HashMap<>();
  private FloatBuffer rows = floats(1024);
  private final float[] row;
  private int count;
  private final boolean joined;
  private byte[] text = new byte[1 << 20];
  private int textEnd;
  private byte[] out = new byte[4096];
  private int at;

  Scorer(Map<String, String> said) throws IOException, OrtException {
    joined = said.getOrDefault("parser", "joined").equals("joined");
    String[] names = said.get("features").split(",");
    for (String name : names) {
      features.put(name, features.size());
    }
    fill = new float[names.length];
    String[] fills = said.get("fill").split(",");
    for (int index = 0; index < fill.length; index++) {
      fill[index] = Float.parseFloat(fills[index]);
    }
    row = new float[fill.length];
    modelName = said.get("model-name");
    modelVersion = said.get("model-version");
    tensor = said.get("tensor");
    // name:tensor:column[:threshold:class:class]
    String[] outputsSaid = said.get("outputs").split(",");
    outputs = new Output[outputsSaid.length];
    for (int index = 0; index < outputs.length; index++) {
      String[] parts = outputsSaid[index].split(":");
      String head = (index == 0 ? ",\"prediction\":{" : ",") + "\"" + parts[0] + "\":";
      byte[][] classes = null;
      float threshold = 0;
      if (parts.length > 3) {
        threshold = Float.parseFloat(parts[3]);
        classes = new byte[][] {bytes("\"" + parts[4] + "\""), bytes("\"" + parts[5] + "\"")};
      }
      outputs[index] =
          new Output(bytes(head), parts[1], Integer.parseInt(parts[2]), classes, threshold);
    }
    OrtSession.SessionOptions options = new OrtSession.SessionOptions();
    options.setIntraOpNumThreads(1);
    options.setInterOpNumThreads(1);
    options.addConfigEntry("session.intra_op.allow_spinning", "0");
    session = environment.createSession(said.get("model"), options);
    begin(1);
    rows.put(row);
    count = 1;
    predict();
  }

  /** Makes room for a batch. */
  void begin(int records) {
    int needed = records * fill.length;
    if (rows.capacity() < needed) {
      rows = floats(needed);
    }
    rows.clear();
    count = 0;
    textEnd = 0;
  }

  /** Takes one event: parsed at once, or with its batch by one parser over all their bytes. */
  void add(byte[] event) throws IOException {
    count++;
    if (joined) {
      if (text.length - textEnd <= event.length) {
        text = Arrays.copyOf(text, Math.max(text.length * 2, textEnd + event.length + 1));
      }
      System.arraycopy(event, 0, text, textEnd, event.length);
      textEnd += event.length;
      text[textEnd++] = '\n';
      return;
    }
    try (JsonParser parser = json.createParser(event)) {
      parse(parser);
    }
  }

  /** One object; only the features are looked at, and nulls are filled. */
  private void parse(JsonParser parser) throws IOException {
    if (parser.nextToken() != JsonToken.START_OBJECT) {
      throw new IOException("not an object");
    }
    System.arraycopy(fill, 0, row, 0, fill.length);
    String name;
    while ((name = parser.nextFieldName()) != null) {
      Integer index = features.get(name);
      JsonToken token = parser.nextToken();
      if (index == null) {
        parser.skipChildren();
      } else if (token != JsonToken.VALUE_NULL) {
        row[index] =
            token == JsonToken.VALUE_NUMBER_INT ? parser.getIntValue() : parser.getFloatValue();
      }
    }
    rows.put(row);
  }

  /** Calls the model once for the batch. */
  void predict() throws IOException, OrtException {
    if (textEnd > 0) {
      try (JsonParser parser = json.createParser(text, 0, textEnd)) {
        for (int event = 0; event < count; event++) {
          parse(parser);
        }
      }
    }
    rows.flip();
    long[] shape = {count, fill.length};
    try (OnnxTensor input = OnnxTensor.createTensor(environment, rows, shape);
        OrtSession.Result result = session.run(Map.of(tensor, input), needed())) {
      for (Output output : outputs) {
        OnnxTensor answer = (OnnxTensor) result.get(output.tensor()).orElseThrow();
        FloatBuffer numbers = answer.getFloatBuffer();
        float[] copy = new float[numbers.remaining()];
        numbers.get(copy);
        answers.put(output.tensor(), copy);
        widths.put(output.tensor(), copy.length / count);
      }
    }
  }

  private Set<String> needed() {
    Set<String> tensors = new HashSet<>();
    for (Output output : outputs) {
      tensors.add(output.tensor());
    }
    return tensors;
  }

  /** From the end of the last prediction to the source's partition, scored now. */
  byte[] middle(String topic) {
    return bytes(
        "},\"model\":{\"name\":\"" + modelName + "\",\"version\":\"" + modelVersion
            + "\"},\"arm\":\"stable\",\"scored_at\":\"" + MILLIS.format(Instant.now())
            + "\",\"source\":{\"topic\":\"" + topic + "\",\"partition\":");
  }

  /** The event's own bytes, then what the model made of it. */
  byte[] result(ConsumerRecord<byte[], byte[]> record, int index, byte[] middle) {
    at = 0;
    byte[] event = record.value();
    put(event, event.length - 1);
    for (Output output : outputs) {
      put(output.head(), output.head().length);
      int width = widths.get(output.tensor());
      float number = answers.get(output.tensor())[index * width + output.column()];
      if (output.classes() != null) {
        byte[] label = output.classes()[number >= output.threshold() ? 1 : 0];
        put(label, label.length);
      } else {
        put(Float.toString(number));
      }
    }
    put(middle, middle.length);
    put(record.partition());
    put(OFFSET, OFFSET.length);
    put(record.offset());
    put(TIMESTAMP, TIMESTAMP.length);
    put(record.timestamp());
    put(END, END.length);
    return Arrays.copyOf(out, at);
  }

  private void put(byte[] bytes, int length) {
    room(length);
    System.arraycopy(bytes, 0, out, at, length);
    at += length;
  }

  @SuppressWarnings("deprecation") // Copies Latin-1 as it is: a number has no other characters.
  private void put(String number) {
    room(number.length());
    number.getBytes(0, number.length(), out, at);
    at += number.length();
  }

  private void put(long number) {
    room(20);
    int digits = 1;
    for (long rest = number; rest >= 10; rest /= 10) {
      digits++;
    }
    for (int place = at + digits - 1; place >= at; place--) {
      out[place] = (byte) ('0' + number % 10);
      number /= 10;
    }
    at += digits;
  }

  private void room(int length) {
    if (out.length - at < length) {
      out = Arrays.copyOf(out, Math.max(out.length * 2, at + length));
    }
  }

  private static FloatBuffer floats(int count) {
    return ByteBuffer.allocateDirect(count * Float.BYTES)
        .order(ByteOrder.nativeOrder())
        .asFloatBuffer();
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }
}
