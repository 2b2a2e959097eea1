package topline.flink;

import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/**
 * Change events in Avro, in Confluent's wire format: a zero byte, four bytes of the id of the writer's schema, the record.
 *
 * <p>Source: Confluent, "Schema Registry: wire format".
 */
final class AvroEvents implements EventFormat {
    private static final int HEADER = 5;

    private final Registry registry;

    /** By the schema's id; empty: what it says cannot be read. A schema that the registry lacks may come later. */
    private final Map<Integer, Optional<AvroReader>> readers = new HashMap<>();

    AvroEvents(Registry registry) {
        this.registry = registry;
    }

    @Override
    public Event event(byte[] record) throws Problem {
        return reader(record).event(record, HEADER);
    }

    @Override
    public Map<String, String> fields(byte[] record) throws Problem {
        return reader(record).fields(record, HEADER);
    }

    private AvroReader reader(byte[] record) throws Problem {
        if (record.length < HEADER || record[0] != 0) {
            throw new Problem("not in Confluent's wire format (0, four bytes of a schema's id)");
        }
        int id = (record[1] & 255) << 24 | (record[2] & 255) << 16 | (record[3] & 255) << 8 | record[4] & 255;
        Optional<AvroReader> known = readers.get(id);
        if (known == null) {
            String schema = registry.schema(id).orElseThrow(() -> new Problem("the registry has no schema " + id));
            known = AvroReader.of(schema, id);
            readers.put(id, known);
        }
        return known.orElseThrow(() -> new Problem("schema " + id + " is no schema of a record"));
    }
}
