package slug;

import java.util.Locale;

/** Names for addresses. */
public final class Slug {
    /** Version of this library. */
    public static String version() {
        return "1.0";
    }

    /** The title in lower case, with a dash for all that is neither an ASCII letter nor a digit. */
    public static String of(String title) {
        return title.toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9]+", "-").replaceAll("^-|-$", "");
    }
}
