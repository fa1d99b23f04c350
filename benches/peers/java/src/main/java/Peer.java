import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The Java peer: kafka-clients, Jackson's token parser, onnxruntime on one thread.
 *
 * <p>Exactly once by a transaction that holds the results and the consumed offsets. Like the Python
 * peer it has no dead letters: one bad event ends it. The driver reads the model's descriptor and
 * hands it over in options, so that no TOML parser is needed here: {@code --name=value}, {@code
 * C.name=value} for the consumer, {@code P.name=value} for the producer.
 */
public final class Peer implements ConsumerRebalanceListener {
  private final String input;
  private final String output;
  private final Scorer scorer;
  private final KafkaConsumer<byte[], byte[]> consumer;
  private final KafkaProducer<byte[], byte[]> producer;
  private final Map<TopicPartition, OffsetAndMetadata> ends = new HashMap<>();
  private final long commitNanos;
  private long opened;

  private Peer(Map<String, String> said, int index) throws Exception {
    input = said.get("input");
    output = said.get("output");
    scorer = new Scorer(said);
    commitNanos = (long) (Double.parseDouble(said.getOrDefault("commit-ms", "100")) * 1e6);
    Properties reading = new Properties();
    reading.put("bootstrap.servers", said.get("brokers"));
    reading.put("group.id", said.get("group"));
    reading.put("group.instance.id", "java-" + index);
    reading.put("enable.auto.commit", "false");
    reading.put("isolation.level", "read_committed");
    reading.put("auto.offset.reset", "earliest");
    reading.put(
        "partition.assignment.strategy",
        "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
    reading.put("session.timeout.ms", "10000");
    reading.put("max.poll.records", "4096");
    Properties writing = new Properties();
    writing.put("bootstrap.servers", said.get("brokers"));
    writing.put("transactional.id", said.get("group") + "-" + index);
    writing.put("transaction.timeout.ms", "12000");
    writing.put("compression.type", "lz4");
    // A commit sends what waits, so lingering costs no latency; see README for what it saves.
    writing.put("linger.ms", "50");
    writing.put("batch.size", "524288");
    writing.put("buffer.memory", "67108864");
    said.forEach(
        (name, value) -> {
          if (name.startsWith("C.")) reading.put(name.substring(2), value);
          if (name.startsWith("P.")) writing.put(name.substring(2), value);
        });
    consumer = new KafkaConsumer<>(reading, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    producer = new KafkaProducer<>(writing, new ByteArraySerializer(), new ByteArraySerializer());
  }

  public static void main(String[] arguments) throws Exception {
    Map<String, String> said = new LinkedHashMap<>();
    for (String argument : arguments) {
      int at = argument.indexOf('=');
      said.put(argument.substring(argument.startsWith("--") ? 2 : 0, at), argument.substring(at + 1));
    }
    int threads = Integer.parseInt(said.getOrDefault("threads", "1"));
    AtomicBoolean stop = new AtomicBoolean();
    List<Thread> running = new ArrayList<>();
    List<Peer> peers = new ArrayList<>();
    for (int index = 0; index < threads; index++) {
      peers.add(new Peer(said, index));
    }
    for (Peer peer : peers) {
      Thread thread = new Thread(() -> peer.run(stop), "peer");
      running.add(thread);
    }
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  stop.set(true);
                  for (Thread thread : running) {
                    try {
                      thread.join(10_000);
                    } catch (InterruptedException error) {
                      return;
                    }
                  }
                }));
    for (Peer peer : peers) {
      peer.producer.initTransactions();
    }
    System.err.println("ready");
    running.forEach(Thread::start);
  }

  private void run(AtomicBoolean stop) {
    try {
      consumer.subscribe(Set.of(input), this);
      while (!stop.get()) {
        long now = System.nanoTime();
        long left = ends.isEmpty() ? commitNanos : opened + commitNanos - now;
        ConsumerRecords<byte[], byte[]> records =
            consumer.poll(Duration.ofNanos(Math.max(0, Math.min(left, 50_000_000))));
        if (!records.isEmpty()) {
          score(records);
        }
        if (!ends.isEmpty() && System.nanoTime() >= opened + commitNanos) {
          commit();
        }
      }
      commit();
      consumer.close();
      producer.close();
    } catch (Throwable error) {
      error.printStackTrace();
      Runtime.getRuntime().halt(1);
    }
  }

  private void score(ConsumerRecords<byte[], byte[]> records) throws Exception {
    scorer.begin(records.count());
    for (ConsumerRecord<byte[], byte[]> record : records) {
      scorer.add(record.value());
    }
    scorer.predict();
    if (ends.isEmpty()) {
      producer.beginTransaction();
      opened = System.nanoTime();
    }
    byte[] middle = scorer.middle(input);
    int row = 0;
    for (ConsumerRecord<byte[], byte[]> record : records) {
      byte[] value = scorer.result(record, row++, middle);
      producer.send(new ProducerRecord<>(output, record.key(), value));
    }
    ends.putAll(records.nextOffsets());
  }

  private void commit() {
    if (ends.isEmpty()) {
      return;
    }
    producer.sendOffsetsToTransaction(new HashMap<>(ends), consumer.groupMetadata());
    producer.commitTransaction();
    ends.clear();
  }

  @Override
  public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
    commit();
  }

  @Override
  public void onPartitionsAssigned(Collection<TopicPartition> partitions) {}

  @Override
  public void onPartitionsLost(Collection<TopicPartition> partitions) {
    throw new IllegalStateException("partitions lost: another start goes on from the last commit");
  }
}
