package topline.flink;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.flink.avro.shaded.org.apache.avro.Schema;
import org.apache.flink.avro.shaded.org.apache.avro.io.BinaryDecoder;
import org.apache.flink.avro.shaded.org.apache.avro.io.DecoderFactory;

/**
 * Reads the records of one schema value by value, without making objects of what is not wanted.
 *
 * <p>Source: Avro 1.11, "Binary encoding".
 */
final class AvroReader {
    private static final char REPLACEMENT = '\uFFFD';

    private final Schema schema;
    private final int id;
    private BinaryDecoder decoder;
    private int size;
    private byte[] bytes = new byte[64];

    private AvroReader(Schema schema, int id) {
        this.schema = schema;
        this.id = id;
    }

    /** Empty where the text is no schema of a record. */
    static Optional<AvroReader> of(String text, int id) {
        try {
            Schema schema = new Schema.Parser().parse(text);
            return schema.getType() == Schema.Type.RECORD ? Optional.of(new AvroReader(schema, id)) : Optional.empty();
        } catch (RuntimeException unreadable) {
            return Optional.empty();
        }
    }

    Event event(byte[] record, int start) throws Problem {
        return read(record, start, this::event);
    }

    Map<String, String> fields(byte[] record, int start) throws Problem {
        return read(record, start, () -> fields(schema));
    }

    private interface Reading<T> {
        T read() throws IOException, Problem;
    }

    private <T> T read(byte[] record, int start, Reading<T> reading) throws Problem {
        size = record.length;
        decoder = DecoderFactory.get().binaryDecoder(record, start, record.length - start, decoder);
        try {
            T found = reading.read();
            if (!decoder.isEnd()) {
                throw new Problem("bytes follow its last value");
            }
            return found;
        } catch (IOException | RuntimeException | StackOverflowError broken) {
            throw new Problem("it does not follow schema " + id);
        }
    }

    private Event event() throws IOException, Problem {
        String op = null;
        Map<String, String> row = null;
        for (Schema.Field field : schema.getFields()) {
            Schema held = chosen(field.schema());
            if (field.name().equals(Event.OP)) {
                op = text(held, Event.OP);
            } else if (field.name().equals(Event.AFTER) && held.getType() == Schema.Type.RECORD) {
                row = fields(held);
            } else {
                skip(held);
            }
        }
        return new Event(op, row);
    }

    /** Those that are no simple values are left out, as if the schema lacked them. */
    private Map<String, String> fields(Schema record) throws IOException, Problem {
        Map<String, String> fields = new HashMap<>();
        for (Schema.Field field : record.getFields()) {
            fields.put(field.name(), text(chosen(field.schema()), field.name()));
        }
        return fields;
    }

    /** A value as text; null where there is none, and where it is no simple one. */
    private String text(Schema schema, String name) throws IOException, Problem {
        return switch (schema.getType()) {
            case STRING -> Texts.require(name, string(name));
            case ENUM -> at(schema.getEnumSymbols(), decoder.readEnum());
            case INT -> Integer.toString(decoder.readInt());
            case LONG -> Long.toString(decoder.readLong());
            case FLOAT -> Float.toString(decoder.readFloat());
            case DOUBLE -> Double.toString(decoder.readDouble());
            case BOOLEAN -> Boolean.toString(truth());
            default -> {
                skip(schema);
                yield null;
            }
        };
    }

    private void skip(Schema schema) throws IOException {
        switch (schema.getType()) {
            case NULL -> {}
            case BOOLEAN -> truth();
            case INT, LONG, ENUM -> decoder.readLong();
            case FLOAT -> decoder.readFloat();
            case DOUBLE -> decoder.readDouble();
            case STRING, BYTES -> pass(decoder.readLong());
            case FIXED -> pass(schema.getFixedSize());
            case UNION -> skip(chosen(schema));
            case RECORD -> {
                for (Schema.Field field : schema.getFields()) {
                    skip(field.schema());
                }
            }
            case ARRAY -> {
                for (long left = fitting(decoder.readArrayStart()); left > 0; left = fitting(decoder.arrayNext())) {
                    for (long item = 0; item < left; item++) {
                        skip(schema.getElementType());
                    }
                }
            }
            case MAP -> {
                for (long left = fitting(decoder.readMapStart()); left > 0; left = fitting(decoder.mapNext())) {
                    for (long item = 0; item < left; item++) {
                        pass(decoder.readLong());
                        skip(schema.getValueType());
                    }
                }
            }
        }
    }

    /** Avro's own reader takes any byte that is not 1 for false. */
    private boolean truth() throws IOException {
        decoder.readFixed(bytes, 0, 1);
        if (bytes[0] != 0 && bytes[0] != 1) {
            throw new IOException("a boolean of " + bytes[0]);
        }
        return bytes[0] == 1;
    }

    /** Of a union the branch that the record has; else the schema itself. */
    private Schema chosen(Schema schema) throws IOException {
        return schema.getType() == Schema.Type.UNION ? at(schema.getTypes(), decoder.readIndex()) : schema;
    }

    private static <T> T at(List<T> choices, int place) throws IOException {
        if (place < 0 || place >= choices.size()) {
            throw new IOException(place + " of " + choices.size() + " choices");
        }
        return choices.get(place);
    }

    /** Avro's own reader would put other characters in the place of bytes that are no UTF-8. */
    private String string(String name) throws IOException, Problem {
        int length = (int) fitting(decoder.readLong());
        if (length > bytes.length) {
            bytes = new byte[Math.max(length, 2 * bytes.length)];
        }
        decoder.readFixed(bytes, 0, length);
        String text = new String(bytes, 0, length, StandardCharsets.UTF_8);
        if (text.indexOf(REPLACEMENT) >= 0) {
            try {
                StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes, 0, length));
            } catch (CharacterCodingException other) {
                throw new Problem(name + " is no UTF-8");
            }
        }
        return text;
    }

    private void pass(long length) throws IOException {
        decoder.skipFixed((int) fitting(length));
    }

    /** A length that the record cannot have is not believed: memory would be asked for it. */
    private long fitting(long count) throws IOException {
        if (count < 0 || count > size) {
            throw new IOException("a length of " + count + " in a record of " + size + " bytes");
        }
        return count;
    }
}
