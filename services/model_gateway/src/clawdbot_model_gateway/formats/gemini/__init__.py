"""The Gemini API's generateContent: parts, thoughts, thought signatures and errors."""
