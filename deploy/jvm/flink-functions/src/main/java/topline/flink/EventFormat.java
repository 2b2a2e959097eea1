package topline.flink;

import java.util.Map;

/** A way in which change events are written. Not for several threads at once. */
interface EventFormat {
    /** A record's value. Problem where it cannot be read. */
    Event event(byte[] record) throws Problem;

    /** A record's key, or any row: its fields as text, null where a field is. Problem where it cannot be read. */
    Map<String, String> fields(byte[] record) throws Problem;
}
