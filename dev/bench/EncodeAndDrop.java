import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.format.JsonByteArray;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import javax.management.MBeanServer;
import javax.management.ObjectName;

/**
 * Debezium's engine with a consumer that drops what it is given, for `dev/bench/run source`: events are made, converted to
 * the bytes that Kafka would get, counted and forgotten.
 *
 * EncodeAndDrop PROPERTIES snapshot|stream TOPIC ROWS
 *
 * `snapshot` takes what comes until there were ROWS events with a value in TOPIC. `stream` says `ready` once the engine follows the
 * binary log, holds its first batch back until there is a line on standard input, and goes on likewise. Prints one JSON object.
 */
public class EncodeAndDrop {
    static final CountDownLatch GO = new CountDownLatch(1);
    static final CountDownLatch DONE = new CountDownLatch(1);
    static volatile Throwable failure;
    static volatile boolean finished;
    static long rows;
    static long records;
    static long bytes;

    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        try (var in = Files.newBufferedReader(Path.of(arguments[0]))) {
            properties.load(in);
        }
        boolean stream = arguments[1].equals("stream");
        String topic = arguments[2];
        long enough = Long.parseLong(arguments[3]);
        DebeziumEngine<ChangeEvent<byte[], byte[]>> engine = DebeziumEngine.create(JsonByteArray.class)
            .using(properties)
            .notifying((List<ChangeEvent<byte[], byte[]>> events, DebeziumEngine.RecordCommitter<ChangeEvent<byte[], byte[]>> committer) -> {
                GO.await();
                for (ChangeEvent<byte[], byte[]> event : events) {
                    if (event.destination().equals(topic)) {
                        records++;
                        rows += event.value() == null ? 0 : 1;
                        bytes += length(event.key()) + length(event.value());
                    }
                    committer.markProcessed(event);
                }
                committer.markBatchFinished();
                if (rows >= enough) {
                    finished = true;
                    DONE.countDown();
                }
            })
            .using((boolean success, String message, Throwable error) -> {
                if (!finished) {
                    failure = error == null ? new IllegalStateException(String.valueOf(message)) : error;
                    DONE.countDown();
                }
            })
            .build();
        ExecutorService executor = Executors.newSingleThreadExecutor();
        long began = System.nanoTime();
        executor.execute(engine);
        if (stream) {
            awaitStreaming();
            System.out.println("ready");
            System.in.read();
            began = System.nanoTime();
        }
        GO.countDown();
        DONE.await();
        double seconds = (System.nanoTime() - began) / 1e9;
        if (failure != null) {
            failure.printStackTrace();
            System.exit(3);
        }
        System.out.printf(Locale.ROOT,
            "{\"rows\": %d, \"records\": %d, \"bytes\": %d, \"seconds\": %.3f, \"cpu_seconds\": %.2f, \"peak_rss_mib\": %.1f}%n",
            rows, records, bytes, seconds, cpuSeconds(), peakKib() / 1024.0);
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    static long length(byte[] bytes) {
        return bytes == null ? 0 : bytes.length;
    }

    /** Until the metrics say that the binary log is being read. */
    static void awaitStreaming() throws Exception {
        MBeanServer metrics = ManagementFactory.getPlatformMBeanServer();
        ObjectName streaming = new ObjectName("debezium.*:type=connector-metrics,context=streaming,*");
        while (DONE.getCount() > 0) {
            for (ObjectName name : metrics.queryNames(streaming, null)) {
                if (Boolean.TRUE.equals(metrics.getAttribute(name, "Connected"))) {
                    return;
                }
            }
            DONE.await(100, TimeUnit.MILLISECONDS);
        }
    }

    /** User and system time of all threads, in the steps of 10 ms that /proc has. */
    static double cpuSeconds() throws IOException {
        String stat = Files.readString(Path.of("/proc/self/stat"));
        String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
        return (Long.parseLong(fields[11]) + Long.parseLong(fields[12])) / 100.0;
    }

    static long peakKib() throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("VmHWM:")) {
                return Long.parseLong(line.replaceAll("[^0-9]", ""));
            }
        }
        return 0;
    }
}
