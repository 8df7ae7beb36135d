"""The Gemini API's generateContent on the wire: parts, thoughts, proofs and errors."""
