"""A page on what runs came to: numbers gathered from run folders, figures, and one HTML file that holds them."""
