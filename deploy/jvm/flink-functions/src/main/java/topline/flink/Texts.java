package topline.flink;

/** What a text may hold: what PostgreSQL takes. */
final class Texts {
    private Texts() {}

    /** The text. Problem names the field where it has a NUL character, or half of a surrogate pair. */
    static String require(String field, String text) throws Problem {
        for (int place = 0; place < text.length(); place++) {
            char letter = text.charAt(place);
            if (letter == 0) {
                throw new Problem(field + ": a NUL character; text cannot hold one");
            }
            if (Character.isSurrogate(letter)) {
                boolean pair = Character.isHighSurrogate(letter)
                        && place + 1 < text.length()
                        && Character.isLowSurrogate(text.charAt(place + 1));
                if (!pair) {
                    throw new Problem(field + ": half of a surrogate pair; it is no character");
                }
                place++;
            }
        }
        return text;
    }
}
